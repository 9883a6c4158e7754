"""Measure models on tasks: one cell, its file, many at a time.

In: models, datasets, protocols. Out: a folder of cells, its matrix, metric scores of the same models.
May import: forward, evidence, tasks, checkpoints, images, metrics and the root.
"""
