# Verbs for people. Each installs what it needs, looks before it acts and may be run again.
# The work is done in scripts/.

PYTHON := .venv/bin/python
CODE := naas tenants services sbc worker scripts bench tests

.DEFAULT_GOAL := help
.PHONY: help up down logs test lint bench images pins screenshots clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Install what is missing, start the platform and show what it can do
	@scripts/bootstrap.sh run
	@$(PYTHON) -m scripts up

down: ## Stop what `make up` started; customer services carry traffic on
	@scripts/bootstrap.sh run
	@$(PYTHON) -m scripts down

logs: ## Follow what every process writes
	@tail -n 20 -F $(or $(NAAS_VAR),var)/log/*.log

test: ## Run every test, on SQLite and on PostgreSQL
	@scripts/bootstrap.sh $(if $(shell find tests/browser -name 'test_*.py' 2>/dev/null),browser,test)
	@$(PYTHON) -m scripts test

lint: ## Check style, types and the direction of imports
	@scripts/bootstrap.sh lint
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy $(CODE)
	.venv/bin/lint-imports

bench: ## Measure speed, with the yardstick beside it
	@scripts/bootstrap.sh test
	@$(PYTHON) -m scripts images
	$(PYTHON) -m bench

images: ## Build the images that changed
	@scripts/bootstrap.sh run
	@$(PYTHON) -m scripts images

screenshots: ## Keep a picture of every page of the portal in var/screenshots
	@scripts/bootstrap.sh browser
	@$(PYTHON) -m scripts screenshots

pins: ## Renew constraints.txt from the requirements
	@scripts/bootstrap.sh lint
	@$(PYTHON) -m scripts pins

clean: ## Stop everything and remove services, networks and var/
	@scripts/bootstrap.sh run
	@$(PYTHON) -m scripts clean
