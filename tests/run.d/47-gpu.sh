# What tests/gpu.sh runs on a card, as far as a CPU can: its measurements and its clients run, its peers are right, and
# without a card it says so.
source tests/support/check.sh
cmake --build --preset cpu --target engine_bench constant_time serving_load

figures() { build/venv/bin/python tests/bench/gpu_figures.py --check --bin=build/cpu/bin; }
peers() { build/venv/bin/python tests/bench/peers_gpu.py --check --device=cpu; }
# A machine with a card has something else to say.
no_card() {
  local said
  ! said=$(python3 tests/support/card.py 2>/dev/null) || return 0
  ! said=$(bash tests/gpu.sh 2>&1) && [[ $said == "no card that CUDA can use: "* && $said != *$'\n'* ]] || { say "found: $said"; return 1; }
}

check "gpu_figures.py" figures
check "peers_gpu.py" peers
check "a server with its clients, beside ref" bash tests/gpu_server.sh build/cpu/bin cpu ref
check "one clear line without a card" no_card
end_of_checks
