from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import set_language

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs")),
    path("admin/language/", set_language, name="set_language"),
    path("admin/", admin.site.urls),
    path("", include("wallets.api.urls")),
]
