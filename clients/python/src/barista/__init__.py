"""Python side of Barista, an inference server for the Latte model family."""
