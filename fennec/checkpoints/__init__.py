"""Which models exist, what is known of each, and how one is loaded and run.

In: `data/models.csv`, weights of a file or a download. Out: `Catalog`, `ModelFacts`, `Encoder`.
May import: architectures, metrics and the root.
"""
