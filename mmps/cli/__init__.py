"""What the command lines of ``tools/`` share, and the command ``mmps``."""
