#include "server/observe/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace barista {
namespace {

void Write(spdlog::level::level_enum level, const char* event, std::initializer_list<LogField> fields) {
  if (!spdlog::should_log(level)) return;
  nlohmann::ordered_json line;
  line["event"] = event;
  for (const auto& [key, value] : fields) line[key] = value;
  const std::string text = line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  spdlog::log(level, "{}", text.substr(1));  // the pattern opens the object
}

}  // namespace

void InitLog(const std::string& level) {
  constexpr size_t kQueueLines = 8192;
  spdlog::init_thread_pool(kQueueLines, 1);
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::async_logger>("barista", sink, spdlog::thread_pool(),
                                                       spdlog::async_overflow_policy::overrun_oldest);
  spdlog::set_default_logger(logger);
  spdlog::set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%f%z","level":"%l",%v)");
  spdlog::set_level(spdlog::level::from_str(level));
  spdlog::flush_on(spdlog::level::info);
}

void FlushLog() { spdlog::shutdown(); }

void LogInfo(const char* event, std::initializer_list<LogField> fields) { Write(spdlog::level::info, event, fields); }
void LogError(const char* event, std::initializer_list<LogField> fields) { Write(spdlog::level::err, event, fields); }

}  // namespace barista
