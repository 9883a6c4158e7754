"""What people look at: tables, figures, the HTML report, the local page.

In: rankings, explanations, comparisons. Out: text, HTML, pictures.
May import: evaluation and every wing below it, and `online`.
"""
