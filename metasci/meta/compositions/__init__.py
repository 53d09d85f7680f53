"""Methods as compositions of an inner rule, a meta-gradient and what is learned; and learning them."""
