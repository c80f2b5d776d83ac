from django.apps import AppConfig


class SbcConfig(AppConfig):
    name = "sbc"
    verbose_name = "Session border controller"
