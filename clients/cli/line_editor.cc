#include "clients/cli/line_editor.h"

#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace barista::cli {
namespace {

constexpr int kHistoryMax = 1000;
// libedit drops one line break and then one space from the end of what it recalls; these are for it to drop.
constexpr char kDropped[] = " \n";

// Multibyte characters of the user's locale; of UTF-8 where the locale has none, for prompts are UTF-8 anyway.
EditLine* Init() {
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  return el_init("barista", stdin, stdout, stderr);
}

std::string HistoryPath() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (state != nullptr && *state == '/') {  // the specification ignores relative ones
    folder = state;
  } else if (home != nullptr && *home == '/') {
    folder = std::filesystem::path(home) / ".local/state";
  } else {
    return "";
  }
  return (folder / "barista/history").string();
}

LineEditor* Self(EditLine* edit) {
  void* self = nullptr;
  el_get(edit, EL_CLIENTDATA, &self);
  return static_cast<LineEditor*>(self);
}

std::string CommonPrefix(const std::vector<std::string>& words) {
  std::string prefix = words.front();
  for (const std::string& word : words) {
    const auto [end, unused] = std::mismatch(prefix.begin(), prefix.end(), word.begin(), word.end());
    prefix.erase(end, prefix.end());
  }
  return prefix;
}

}  // namespace

LineEditor::LineEditor(Completer completer)
    : completer_(std::move(completer)), history_path_(HistoryPath()), history_(history_init()), edit_(Init()) {
  HistEvent event;
  history(history_, &event, H_SETSIZE, kHistoryMax);
  history(history_, &event, H_SETUNIQUE, 1);
  if (!history_path_.empty()) history(history_, &event, H_LOAD, history_path_.c_str());
  el_set(edit_, EL_CLIENTDATA, this);
  el_set(edit_, EL_HIST, history, history_);
  el_set(edit_, EL_PROMPT, Prompt);
  el_set(edit_, EL_EDITOR, "emacs");
  el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_source(edit_, nullptr);
  el_set(edit_, EL_SETTY, "-d", "-isig", nullptr);
  Bind(L"^C", L"barista-discard", Discard);
  Bind(L"^Z", L"barista-suspend", Suspend);
  Bind(L"^I", L"barista-complete", Complete);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigemptyset(&ignore.sa_mask);
  sigaction(SIGINT, &ignore, &previous_);
}

LineEditor::~LineEditor() {
  el_end(edit_);
  history_end(history_);
  sigaction(SIGINT, &previous_, nullptr);
}

LineReader::Outcome LineEditor::Read(const std::string& prompt, std::string& line) {
  prompt_ = prompt;
  discarded_.reset();
  el_resize(edit_);
  el_set(edit_, EL_PREP_TERM, 1);  // before the prompt is seen, so that keys pressed upon it are keys
  int count = 0;
  const char* typed = el_gets(edit_, &count);
  if (discarded_.has_value()) {
    line = *std::exchange(discarded_, std::nullopt);
    return Outcome::kDiscarded;
  }
  if (typed == nullptr) {
    std::fputs("\n", stdout);
    return Outcome::kEnd;
  }
  line = std::string(absl::StripSuffix(typed, "\n"));
  return Outcome::kLine;
}

void LineEditor::Remember(const std::string& text) {
  HistEvent event;
  history(history_, &event, H_ENTER, absl::StrCat(text, kDropped).c_str());
  if (history_path_.empty()) return;
  // Now, not at the end: most terminals are left by closing their window.
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(history_path_).parent_path(), ignored);
  history(history_, &event, H_SAVE, history_path_.c_str());
}

unsigned char LineEditor::Discard(EditLine* edit, wint_t) {
  const LineInfo* line = el_line(edit);
  Self(edit)->discarded_.emplace(line->buffer, line->lastchar);
  el_cursor(edit, static_cast<int>(line->lastchar - line->cursor));
  el_insertstr(edit, "^C");
  el_push(edit, "\n");  // the rest is what Enter does: the cursor goes below the last row
  return CC_REFRESH;
}

unsigned char LineEditor::Suspend(EditLine* edit, wint_t) {
  el_set(edit, EL_PREP_TERM, 0);
  kill(0, SIGTSTP);  // the whole job, as the terminal would
  el_set(edit, EL_PREP_TERM, 1);
  return CC_REDISPLAY;
}

unsigned char LineEditor::Complete(EditLine* edit, wint_t) {
  LineEditor& self = *Self(edit);
  const LineInfo* line = el_line(edit);
  const std::string typed(line->buffer, line->cursor);
  const std::vector<std::string> candidates = self.completer_(typed);
  if (candidates.empty()) return el_insertstr(edit, "\t") == 0 ? CC_REFRESH : CC_ERROR;
  const std::string known = CommonPrefix(candidates);
  if (known.size() > typed.size()) {
    return el_insertstr(edit, known.substr(typed.size()).c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }
  if (candidates.size() == 1) return CC_NORM;
  std::fputs("\n", stdout);
  for (const std::string& candidate : candidates) std::fprintf(stdout, "%s\n", candidate.c_str());
  return CC_REDISPLAY;
}

char* LineEditor::Prompt(EditLine* edit) { return Self(edit)->prompt_.data(); }

// The wide form: the narrow one never frees its copies of the names.
void LineEditor::Bind(const wchar_t* key, const wchar_t* name, unsigned char (*function)(EditLine*, wint_t)) {
  el_wset(edit_, EL_ADDFN, name, L"", function);
  el_wset(edit_, EL_BIND, key, name, nullptr);
}

}  // namespace barista::cli
