"""Users connect their accounts: logins by browser, forms for keys, and what a page may offer them."""
