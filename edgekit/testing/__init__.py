"""What users' own test suites hold models to; `edgekit.pytest_plugin` offers it as fixtures."""
