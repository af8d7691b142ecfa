"""`trunkline bench answering`: a corpus of answered calls, and how often it is said rightly who answered.

wording/*.toml, voices, packages -> speaking -> scenes -> lines -> calls     a corpus, the same each time
calls -> hearing (VAD and recogniser, kept on disk) -> driving -> counting -> report
                                                amd (the baseline) --^
"""
