"""From one file format to another: what ``tools/dataset_converters`` runs."""
