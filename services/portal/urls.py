"""Addresses of the pages about services and orders, below `/t/<tenant>/`."""

from django.urls import path

from services.portal import lists, order, service

urlpatterns = [
    path("", lists.Services.as_view(), name="home"),
    path("services/", lists.Services.as_view(), name="services"),
    path("services/<id:id>/", service.Service.as_view(), name="service"),
    path("orders/", lists.Orders.as_view(), name="orders"),
    path("orders/<id:id>/", order.Order.as_view(), name="order"),
]
