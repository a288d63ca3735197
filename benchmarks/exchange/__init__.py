"""Networks of other tools: what their integers compute beside ours."""
