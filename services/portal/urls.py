"""Addresses of the pages about services and orders, below `/t/<tenant>/`."""

from django.urls import path

from services.portal import blueprints, glass, history, home, lists, metrics, order, ordering, search, segments, service

urlpatterns = [
    path("", home.Home.as_view(), name="home"),
    path("search/", search.Search.as_view(), name="search"),
    path("services/", lists.Services.as_view(), name="services"),
    path("services/<id:id>/", service.Service.as_view(), name="service"),
    path("services/<id:id>/configuration/", ordering.Configuration.as_view(), name="service-configuration"),
    path("services/<id:id>/drawer/", home.Drawer.as_view(), name="service-drawer"),
    path("services/<id:id>/heal/", service.Heal.as_view(), name="service-heal"),
    path("services/<id:id>/topology/", service.Topology.as_view(), name="service-topology"),
    path("services/<id:id>/metrics/", metrics.Metrics.as_view(), name="service-metrics"),
    path("services/<id:id>/cost/", service.Cost.as_view(), name="service-cost"),
    path("services/<id:id>/history/", history.History.as_view(), name="service-history"),
    path("services/<id:id>/history/revert/", history.Revert.as_view(), name="service-revert"),
    path("services/<id:id>/events/", service.Events.as_view(), name="service-events"),
    path("services/<id:id>/looking-glass/", glass.Glass.as_view(), name="service-ask"),
    path("services/<id:id>/remove/", ordering.Remove.as_view(), name="service-remove"),
    path("order/", ordering.Catalogue.as_view(), name="order-new"),
    path("order/place/", ordering.Place.as_view(), name="order-place"),
    path("order/blueprints/<slug:blueprint>/", blueprints.FromBlueprint.as_view(), name="order-blueprint"),
    path("order/<slug:kind>/", ordering.Add.as_view(), name="order-add"),
    path("segments/", segments.Segments.as_view(), name="segments"),
    path("segments/new/", segments.New.as_view(), name="segment-new"),
    path("segments/<id:id>/remove/", segments.Remove.as_view(), name="segment-remove"),
    path("orders/", lists.Orders.as_view(), name="orders"),
    path("orders/<id:id>/", order.Order.as_view(), name="order"),
    path("orders/<id:id>/cancel/", order.Cancel.as_view(), name="order-cancel"),
    path("orders/<id:id>/hasten/", order.Hasten.as_view(), name="order-hasten"),
    path("orders/<id:id>/retry/", order.Retry.as_view(), name="order-retry"),
]
