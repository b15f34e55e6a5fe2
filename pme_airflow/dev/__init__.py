"""For trying and testing alone: the stand-in PME API and the playground. Nothing in production imports it."""
