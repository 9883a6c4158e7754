"""Try models on one's own data: propose, measure, learn, propose again, until a budget is spent.

In: a dataset, a budget, a recommender. Out: cells of `fennec.bench`, and `Search`: what won and what may be better.
May import: online, evaluation, bench and every wing below them.
"""
