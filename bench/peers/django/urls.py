"""The endpoints of the toolkit, and the one resource that its tokens are for."""

from accounts import Account
from django.urls import include, path

urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("account", Account.as_view()),
]
