"""Records of other tools: `tf.train.Example`, and what only looks like one."""
