"""How good is it: leave a task out, leave a family out, compare with forward-pass metrics.

In: matrices, embeddings, scores. Out: tidy tables of measures.
May import: bench and every wing below it.
"""
