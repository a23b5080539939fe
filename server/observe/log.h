// The server's log: JSON lines, written by a thread of its own so that a pipe that nobody reads never stalls a step:
// the oldest lines are then dropped, and counted. Never a prompt, a text, a token or a key; no name that a caller
// chose.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "nlohmann/json.hpp"

namespace barista {

// level: debug, info, warn, error. Lines go to `descriptor`, by default stderr. Call once, before the first line.
void InitLog(const std::string& level, int descriptor = 2);
// Writes what is in the queue, as far as somebody takes it within two seconds. No line may follow.
void FlushLog();
// Any thread: since the start.
int64_t LogLinesDropped();

using LogField = std::pair<const char*, nlohmann::json>;

void LogInfo(const char* event, std::initializer_list<LogField> fields = {});
void LogError(const char* event, std::initializer_list<LogField> fields = {});
// The same, for fields that are not always all there.
void LogInfo(const char* event, const nlohmann::ordered_json& fields);

}  // namespace barista
