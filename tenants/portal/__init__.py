"""The customers' portal: what every page of it is made of, and the pages about a tenant itself.

Pages are rendered here, work without JavaScript, and write through the verbs as the API does. A package that has pages
adds its addresses in `naas.urls` and its entries in `settings.NAAS_PORTAL_NAVIGATION`.
"""
