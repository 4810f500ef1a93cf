"""What tests, here and downstream, and examples need: scenes, tiny models, galleries, test sets."""
