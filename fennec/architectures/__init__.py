"""A network without weights becomes a graph of operators, and the graph a vector (archi2vec).

In: `library:architecture` or any `nn.Module`. Out: `ArchitectureGraph`, architecture vectors, expected quality.
May import: the root alone.
"""
