// Guesses what follows in a sequence from what followed the same words before: prompt lookup. Plain values, no model;
// a guess costs speed where it is wrong, never a bit.
#pragma once

#include <cstdint>
#include <vector>

namespace barista {

// The last kHistory tokens of one sequence, with an index of their n-grams. All memory is taken when it is made.
class NgramDrafter {
 public:
  static constexpr int64_t kHistory = 8192;  // tokens
  static constexpr int kShortest = 2, kLongest = 4;

  NgramDrafter();

  // The sequence goes on with this token.
  void Push(int32_t token);
  // Replaces `draft` by `count` tokens: those after the latest earlier place where the last kLongest tokens stand (else
  // the last three, or two), or by none where there is no such place. A place so late that its tokens run into the end
  // is taken to repeat itself. A bucket that many different n-grams share may hide one.
  void Draft(int32_t count, std::vector<int32_t>& draft) const;

 private:
  static constexpr int64_t kBuckets = 2 * kHistory;
  static constexpr int kProbesMax = 16;  // places looked at in a bucket
  // Of the n-grams of one length: where the latest of each bucket was followed, and for each such place the one before.
  struct Index {
    std::vector<int32_t> latest;    // [kBuckets]
    std::vector<int32_t> previous;  // [kHistory]
  };

  int32_t At(int32_t place) const { return tokens_[place % kHistory]; }
  // Of the n tokens before `place`.
  uint32_t Bucket(int32_t place, int n) const;
  bool SameBefore(int32_t a, int32_t b, int n) const;
  // The latest place after the last n tokens' earlier occurrence; -1: none.
  int32_t Find(int n) const;

  std::vector<int32_t> tokens_;  // a ring: token i in i mod kHistory
  int32_t size_ = 0;             // tokens pushed
  Index indices_[kLongest - kShortest + 1];
};

}  // namespace barista
