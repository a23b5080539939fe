// What the metrics page may hold: closed labels, and few enough series for one pod.
#include "server/observe/metrics.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "server/engine/error.h"

namespace barista {
namespace {

// Lines of the page: a histogram has one for each bound, +Inf, sum and count.
int64_t Series(const Metrics& metrics) {
  int64_t series = 0;
  for (const prometheus::MetricFamily& family : metrics.registry()->Collect()) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      const bool histogram = family.type == prometheus::MetricType::Histogram;
      series += histogram ? static_cast<int64_t>(metric.histogram.bucket.size()) + 2 : 1;
    }
  }
  return series;
}

TEST(MetricsTest, APodOfADeepModelExposesAtMost2000Series) {
  Metrics metrics;
  for (int layer = 0; layer < 48; ++layer) {
    for (auto* family : {&metrics.latent_entropy, &metrics.effective_latents, &metrics.local_mass}) {
      family->Add({{"layer", std::to_string(layer)}});
    }
  }
  metrics.build_info.Add({{"version", "1"}, {"backend", "cpu"}, {"model", "models/m"}});
  EXPECT_LE(Series(metrics), 2000);
  EXPECT_GT(Series(metrics), 300);  // all of it was counted
}

TEST(MetricsTest, NoFamilyHasALabelThatCallersChoose) {
  const std::set<std::string> closed = {"status", "reason", "tier", "store", "outcome", "layer", "use", "what"};
  Metrics metrics;
  for (const prometheus::MetricFamily& family : metrics.registry()->Collect()) {
    EXPECT_EQ(family.name.rfind("barista_", 0), 0u) << family.name;
    EXPECT_FALSE(family.help.empty()) << family.name;
    for (const prometheus::ClientMetric& metric : family.metric) {
      for (const auto& label : metric.label) EXPECT_TRUE(closed.count(label.name)) << family.name << ' ' << label.name;
    }
  }
}

TEST(MetricsTest, EveryErrorReasonHasItsSeries) {
  Metrics metrics;
  std::set<const prometheus::Counter*> series;
  const int reasons = static_cast<int>(ErrorReason::kTenantLimit) + 1;
  for (int i = 0; i < reasons; ++i) {
    series.insert(&metrics.errors(absl::AsciiStrToLower(Name(static_cast<ErrorReason>(i)))));
  }
  EXPECT_EQ(static_cast<int>(series.size()), reasons);
  EXPECT_EQ(&metrics.errors("no such reason"), &metrics.errors("internal"));
}

}  // namespace
}  // namespace barista
