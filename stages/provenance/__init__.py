"""Where every figure comes from, and whether it still does: the chain behind one explanation, and the audit of all."""
