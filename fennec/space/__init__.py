"""Offline, vectors of models and tasks from the evidence; online, rank, explain, choose, save.

In: `TransferMatrix`, task embeddings, facts of models. Out: `Recommender`, `Ranking`, `Explanation`.
May import: evidence, tasks, checkpoints, architectures and the root.
"""
