// The server's log: JSON lines on stderr, written by a thread of its own so that a blocked pipe never stalls a step
// (the oldest lines are then dropped). Never a prompt, a text or a token.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "nlohmann/json.hpp"

namespace barista {

// level: debug, info, warn, error. Call once, before the first line.
void InitLog(const std::string& level);
void FlushLog();

using LogField = std::pair<const char*, nlohmann::json>;

void LogInfo(const char* event, std::initializer_list<LogField> fields = {});
void LogError(const char* event, std::initializer_list<LogField> fields = {});

}  // namespace barista
