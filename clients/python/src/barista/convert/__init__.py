"""Turns checkpoints of other projects into checkpoint directories (config.json + model.safetensors [+ tokenizer.json]).

Reading order: __main__ (command line) -> run_directory (which files) -> orbax_tree (arrays by path)
-> official (their names and settings to ours) -> tokenizers -> writer.
"""
