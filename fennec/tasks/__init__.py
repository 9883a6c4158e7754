"""A proxy looks at images once; a dataset becomes a task embedding.

In: `ImageDataset`. Out: `TaskEmbedding`, and those of the known tasks.
May import: checkpoints, images and the root.
"""
