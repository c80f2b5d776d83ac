"""What stands beside the API itself: the front door, the API's description and browsable documentation, and health."""

from allauth.account import views
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.db.transaction import atomic
from django.urls import include, path, re_path
from django.views.generic import RedirectView
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

#: Second factors and passkeys, which stand on the page of one's account.
FACTORS = [
    path("login/code/", factors.authenticate, name="mfa_authenticate"),
    path("login/passkey/", webauthn.login_webauthn, name="mfa_login_webauthn"),
    path("account/again/code/", factors.reauthenticate, name="mfa_reauthenticate"),
    path("account/again/passkey/", webauthn.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("account/factors/", RedirectView.as_view(pattern_name="account"), name="mfa_index"),
    path("account/app/", totp.activate_totp, name="mfa_activate_totp"),
    path("account/app/off/", atomic(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("account/passkeys/", RedirectView.as_view(pattern_name="account"), name="mfa_list_webauthn"),
    path("account/passkeys/new/", atomic(webauthn.add_webauthn), name="mfa_add_webauthn"),
    path("account/passkeys/<int:pk>/remove/", atomic(webauthn.remove_webauthn), name="mfa_remove_webauthn"),
    path("account/codes/", recovery.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("account/codes/file/", recovery.download_recovery_codes, name="mfa_download_recovery_codes"),
    path("account/codes/new/", recovery.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("account/sessions/", pages.sessions, name="account_sessions"),
]

urlpatterns = [
    *FACTORS,
    path("", pages.home, name="home"),
    *ACCOUNT,
    path("sso/<slug:tenant>/", pages.sign_on, name="sign_on"),
    path("sso/<slug:tenant>/go/", pages.sign_on_go, name="sign_on_go"),
    path("sso/<slug:tenant>/back/", pages.sign_on_back, name="sign_on_back"),
    path("invitation/", pages.invitation, name="invitation"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("tenants.api.urls")),
]
