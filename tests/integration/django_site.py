"""A Django site as its users write one: a login form with CSRF, and a JSON API for those it knows in any usual way.

`uvicorn tests.integration.django_site:application`; SITE_DATABASE names its database, SITE_SECRET is password,
token and key of its user.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["127.0.0.1", "api.internal"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DATABASE"]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    LOGIN_REDIRECT_URL="/api/me",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF=__name__,
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    (
                        "django.template.loaders.locmem.Loader",
                        {"registration/login.html": "<form method=post>{% csrf_token %}{{ form }}<button></form>"},
                    )
                ]
            },
        }
    ],
)
django.setup()

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.db import connection, models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from graphql import build_schema, graphql_sync
from ninja import NinjaAPI, Schema
from ninja.security import APIKeyHeader, HttpBasicAuth, HttpBearer, django_auth


class Client(models.Model):
    name = models.CharField(max_length=40)

    class Meta:
        app_label = "shop"


class Order(models.Model):
    client_id = models.IntegerField()
    reference = models.CharField(max_length=80, unique=True)

    class Meta:
        app_label = "shop"


class NewOrder(Schema):
    client_id: int
    reference: str


class OneClient(Schema):
    id: int
    name: str


class Clients(Schema):
    items: list[OneClient]
    count: int


class OneOrder(NewOrder):
    id: int


class Me(Schema):
    user: str


class Credentials(Schema):
    user: str
    password: str


class Token(Schema):
    access_token: str
    expires_in: int


tokens = {os.environ["SITE_SECRET"]}


class ByToken(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        return User.objects.get() if token in tokens else None


class ByKey(APIKeyHeader):
    param_name = "X-Api-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        return User.objects.get() if key == os.environ["SITE_SECRET"] else None


class ByPassword(HttpBasicAuth):
    def authenticate(self, request: HttpRequest, username: str, password: str) -> Any:
        return authenticate(username=username, password=password)


api = NinjaAPI(title="Shop", auth=[ByToken(), ByKey(), ByPassword(), django_auth])


@api.post("/login", auth=None, response={200: Token, 401: None})
def login(request: HttpRequest, given: Credentials) -> Any:
    if authenticate(username=given.user, password=given.password) is None:
        return 401, None
    tokens.add(token := secrets.token_urlsafe(16))
    return {"access_token": token, "expires_in": 3600}


@api.get("/me", response=Me)
def me(request: HttpRequest) -> dict[str, str]:
    return {"user": str(request.user if request.user.is_authenticated else request.auth)}


@api.get("/clients", auth=None, response=Clients)
def clients(request: HttpRequest, page: int = 1) -> dict[str, Any]:
    return {"items": Client.objects.order_by("id")[(page - 1) * 20 : page * 20], "count": Client.objects.count()}


@api.get("/clients/{client_id}", response=OneClient)
def client(request: HttpRequest, client_id: int) -> Client:
    return get_object_or_404(Client, id=client_id)


@api.post("/orders", response={201: OneOrder})
def order(request: HttpRequest, new: NewOrder) -> tuple[int, Order]:
    return 201, Order.objects.create(**new.dict())


@api.get("/orders/{order_id}", response=OneOrder)
def one_order(request: HttpRequest, order_id: int) -> Order:
    return get_object_or_404(Order, id=order_id)


shop = build_schema("type Client { id: Int! name: String! } type Query { client(id: Int!): Client! }")


class Query:
    def client(self, info: object, id: int) -> Client:  # noqa: A002
        return Client.objects.get(id=id)


@csrf_exempt
def graphql(request: HttpRequest) -> HttpResponse:
    asked = json.loads(request.body)
    return JsonResponse(graphql_sync(shop, asked["query"], Query(), variable_values=asked.get("variables")).formatted)


urlpatterns = [
    path("accounts/login/", LoginView.as_view()),
    path("api/", api.urls),
    path("graphql", graphql),
]


def set_up() -> None:
    """The tables, a user and 300 clients."""
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Client)
        editor.create_model(Order)
    User.objects.create_user("demo", password=os.environ["SITE_SECRET"])
    Client.objects.bulk_create(Client(name=f"client {number}") for number in range(1, 301))


if not Path(os.environ["SITE_DATABASE"]).exists():
    set_up()
application = get_asgi_application()
