"""What stands beside the API itself: the front door, the API's description and browsable documentation, and health."""

from allauth.account import views
from django.db.transaction import atomic
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from tenants import health, pages

#: allauth's pages by the names that it knows them by. There is none to sign up, and none to change one's address.
ACCOUNT = [
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("account/", atomic(pages.Account.as_view()), name="account"),
    path("account/password/", atomic(pages.Account.as_view()), name="account_change_password"),
    path("account/closed/", views.account_inactive, name="account_inactive"),
    path("account/again/", views.reauthenticate, name="account_reauthenticate"),
    path("account/forgotten/", views.password_reset, name="account_reset_password"),
    path("account/forgotten/sent/", views.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^account/forgotten/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        atomic(views.password_reset_from_key),
        name="account_reset_password_from_key",
    ),
    path("account/forgotten/done/", views.password_reset_from_key_done, name="account_reset_password_from_key_done"),
]

urlpatterns = [
    path("", pages.home, name="home"),
    *ACCOUNT,
    path("invitation/", pages.invitation, name="invitation"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("tenants.api.urls")),
]
