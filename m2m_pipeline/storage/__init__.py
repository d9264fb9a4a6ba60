"""PostgreSQL: the truth. The only package with SQL; one module an aggregate."""
