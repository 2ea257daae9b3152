// Generated from proto/images.proto by generate.ts; do not edit.
import type { Empty, Timestamp, Unary } from '../well-known.ts';
import type { Descriptor } from './types.ts';

export interface Images {
  get: Unary<GetImageRequest, GetImageResponse>;
  list: Unary<ListImagesRequest, ListImagesResponse>;
  create: Unary<CreateImageRequest, CreateImageResponse>;
  delete: Unary<DeleteImageRequest, Empty>;
}

export interface Image {
  name: string;
  labels: Record<string, string>;
  target: Descriptor | null;
  createdAt: Timestamp | null;
  updatedAt: Timestamp | null;
}

export interface GetImageRequest {
  name: string;
}

export interface GetImageResponse {
  image: Image | null;
}

export interface CreateImageRequest {
  image: Image | null;
}

export interface CreateImageResponse {
  image: Image | null;
}

export interface ListImagesRequest {
  filters: string[];
}

export interface ListImagesResponse {
  images: Image[];
}

export interface DeleteImageRequest {
  name: string;
  sync: boolean;
}
