"""What tests, here and downstream, need: random scenes, tiny models, tiny data sets."""
