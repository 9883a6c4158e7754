"""Open any image dataset.

In: a folder, manifest, archive, or a dataset of another library. Out: `ImageDataset`, pictures in order, a task to be
trained on. May import: the root alone.
"""
