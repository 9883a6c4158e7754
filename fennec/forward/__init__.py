"""Run candidates over the images and score their features.

In: `Encoder`, `ImageDataset`. Out: `FeatureSet`, a `Ranking` by forward-pass metrics.
May import: space, checkpoints, images, metrics and the root.
"""
