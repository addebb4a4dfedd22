"""Training, as commands."""

import os

# The commands show their own progress; TensorFlow's notes on CPU features and CUDA hide it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
