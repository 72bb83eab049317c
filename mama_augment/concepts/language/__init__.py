"""What texts say: words, lemmas, kinds, telling phrases; nothing here knows an assigner."""
