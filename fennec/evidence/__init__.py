"""What is known of models on tasks.

In: `data/results`, or results of one's own. Out: `TransferMatrix`, one study under one protocol.
May import: checkpoints and the root.
"""
