"""Which pre-trained vision model should I fine-tune on my data?"""

__version__ = "0.1.0.dev0"
