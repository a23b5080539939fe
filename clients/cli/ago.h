// Times of the server for people: how long they are past.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <string>

namespace barista::cli {

// "5 min ago", in the largest unit that fits; never below 0 s where the server's clock is ahead of ours.
std::string Ago(const google::protobuf::Timestamp& time);

}  // namespace barista::cli
