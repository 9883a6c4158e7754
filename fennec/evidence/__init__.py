"""What is known of models on tasks.

In: `data/evidence.parquet`, or results of one's own. Out: all results in one table, and `TransferMatrix`, one study
under one protocol. May import: checkpoints and the root.
"""
