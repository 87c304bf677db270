"""One learner trained on what several writers wrote about the same passages, as SEAL (arXiv 2506.10943) measures it.

settings   the options of the command line
passages   the file: passages, questions, and the texts of the writers; how a text becomes training sequences
forms      the plain form of SEAL's sequences and prompts, and the chat template's
learning   units of work: train one adapter per passage, ask the questions
study      the training sets, and the units that each needs
grading    contains-answer and token F1, normalised as for SQuAD
table      scores, the table, and the files
"""
