# The programs that run on a card. Sourced.
KERNEL_TESTS=(mma_test norm_test activation_test embedding_test rotary_test conv1d_test rglru_test slot_rows_test attend_test latte_test
  window_attention_test matmul_test sampling_test)
TESTS=(device_memory_test "${KERNEL_TESTS[@]}" golden_test chain_test decode_graphs_test engine_device_test)
BENCHES=(engine_bench constant_time serving_load)  # and device_limits, in a build for cards
