"""A proxy looks at images once; a dataset becomes a task embedding, a description a likeness to known tasks.

In: `ImageDataset`, words. Out: `TaskEmbedding`, and those of the known tasks; `TaskDescription`.
May import: checkpoints, images and the root.
"""
