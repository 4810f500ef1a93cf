"""What several networks are built with."""
